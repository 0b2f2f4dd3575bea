/** How many pages `total` hits take. Nothing found is one empty page. */
export function pageCount(total, perPage) {
  if (total === 0) return 1;
  return Math.floor(total / perPage);
}

/** The first and the last hit of a page, both counted from 1. */
export function pageRange(page, total, perPage) {
  const first = (page - 1) * perPage + 1;
  const last = Math.min(first + perPage - 1, total);
  return { first, last };
}

/** The page numbers to show around `current`, with `null` where some are left out. */
export function pageLinks(current, count, around = 1) {
  const links = [];
  for (let page = 1; page <= count; page += 1) {
    const edge = page === 1 || page === count;
    if (edge || Math.abs(page - current) <= around) {
      links.push(page);
    } else if (links[links.length - 1] !== null) {
      links.push(null);
    }
  }
  return links;
}
