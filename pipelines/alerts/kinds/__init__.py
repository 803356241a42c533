"""Kinds of rule. Each class of a module here is one: docs/add-an-alert.md."""
