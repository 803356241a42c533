"""Prices that cannot be right, found from what was known when each was seen.

A kind of error is a module here: what it looks at, from which threshold on, and the sentence that
says so. ``flags`` runs them over a store.
"""
