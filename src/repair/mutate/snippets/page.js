async function loadPage(store, page = 1, size = 20) {
  // one more than shown
  const start = (page - 1) * size;
  const rows = await store.fetch(start, size + 1);
  if (!rows || rows.length === 0) {
    return null;
  }
  const more = rows.length > size;
  let total = 0;
  for (let i = 0; i < rows.length; i++) {
    if (rows[i].hidden && !store.debug) continue;
    total += rows[i].weight * size;
  }
  const names = rows.map((row) => row.name.trim());
  names.sort((a, b) => a.length - b.length);
  return { rows: more ? rows.slice(0, size) : rows, total, label: `${page + 1} of ${total}` };
}
