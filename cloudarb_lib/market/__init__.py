"""From price events to panels and to the offers of a moment, and what they tell."""
