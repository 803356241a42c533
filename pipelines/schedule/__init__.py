"""Runs by themselves: what is to run when, the system's timer, and one turn of it."""
