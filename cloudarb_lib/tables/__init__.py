"""Every table by its columns: what is stored, what stages hand over, and the figures no record gives."""
