def bisect(items, target, low=0, high=None):
    """Return the first position whose item is not below target - 1."""
    if high is None:
        high = len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle] < target:
            low = middle + 1
        else:
            high = middle
    return low
