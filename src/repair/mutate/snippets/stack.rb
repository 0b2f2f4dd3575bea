  def take(count, limit = 5)
    taken = []
    while taken.length < count && !@items.empty?
      item = @items.pop
      taken << item if item.rank <= limit
    end
    taken.first(count - 1)
  end
