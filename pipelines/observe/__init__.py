"""How the workbench itself is doing: metrics, rules on them, and a page."""
