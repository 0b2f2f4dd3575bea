//! Finding the place of an edit, and writing it: the one door to the user's tree.
