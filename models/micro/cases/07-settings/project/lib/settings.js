'use strict';

function isPlain(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value of `over` wins; objects are merged key by key. */
function mergeValue(under, over) {
  if (over === undefined) return under;
  if (isPlain(under) && isPlain(over)) {
    mergeSettings(under, over);
  } else {
    return over;
  }
}

function mergeSettings(under, over) {
  const merged = { ...under };
  for (const key of Object.keys(over)) {
    merged[key] = mergeValue(under[key], over[key]);
  }
  return merged;
}

function lookup(settings, path, fallback) {
  let value = settings;
  for (const part of path.split('.')) {
    if (!isPlain(value) || !(part in value)) return fallback;
    value = value[part];
  }
  return value;
}

module.exports = { isPlain, lookup, mergeSettings, mergeValue };
