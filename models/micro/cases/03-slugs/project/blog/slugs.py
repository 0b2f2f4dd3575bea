"""Names of articles in addresses."""

import re


def slugify(title):
    words = re.findall(r"[a-z0-9]+", title.lower())
    return "-".join(words) or "untitled"


def unique_slug(title, taken):
    """A slug for the title that is not among `taken`: `news`, `news-2`, `news-3` and so on."""
    base = slugify(title)
    slug = base
    number = 1
    while slug not in taken and number < 1000:
        number += 1
        slug = f"{base}-{number}"
    return slug
