  private take<T extends Item>(count: number, ready: (item: T) => boolean = () => true): T[] {
    const taken: T[] = [];
    while (taken.length < count && this.items.length > 0) {
      const item = this.items.shift() as T;
      if (ready(item) && item.rank <= this.limit) {
        taken.push(item);
      } else if (item.age !== undefined && item.age >= count) {
        this.late.push(item);
      }
    }
    this.left = this.items.length - 1;
    this.notify(taken, count);
    return taken.filter((entry) => entry.isValid());
  }
