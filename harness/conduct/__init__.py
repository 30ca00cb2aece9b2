"""A run while it goes on: what is sent, journalled and asked, how it ends and goes on, what is made of it."""
