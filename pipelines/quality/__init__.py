"""Figures of the code itself: how involved it is, how well it is tested, how changes land."""
