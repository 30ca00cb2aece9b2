"""Rules -> a ruling: pass, fail or inconclusive, with the evidence of each."""
