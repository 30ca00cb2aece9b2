"""Deciding: which arms are held against which, what is worth asking still, what a plan could see."""
