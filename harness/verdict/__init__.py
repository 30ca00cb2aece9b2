"""May this run be believed? What the measuring was like, and the word for it."""
