/** Whether a user may do what `needed` says. Nothing needed is allowed to all. */
export function allows(user, needed) {
  if (needed === undefined) return true;
  return user.permissions.includes(needed);
}
