"""Figures for people: the terminal, live and afterwards."""
