"""Would following the advice of the past have paid? A module a decision."""
