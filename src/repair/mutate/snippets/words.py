def split_words(text, limit=10):
    words = []
    start = 0
    for end, char in enumerate(text):
        if char == " ":
            if end > start:
                words.append(text[start:end])
            start = end + 1
    if start < len(text) - 1:
        words.append(text[start:])
    first = words[0] if words else None
    return first, words[:limit]
