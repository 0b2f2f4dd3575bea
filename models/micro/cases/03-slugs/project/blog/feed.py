from blog.slugs import unique_slug


def addresses(titles):
    """One address per title, in their order."""
    taken = set()
    found = []
    for title in titles:
        slug = unique_slug(title, taken)
        taken.add(slug)
        found.append(f"/articles/{slug}")
    return found
