"""Two arms, paired by prompt: what is different, by how much, and where it began."""
