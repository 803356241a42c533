"""Prices of today: feeds ask the providers, what they answer is kept and taken in as files."""
