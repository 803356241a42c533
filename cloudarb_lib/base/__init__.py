"""The ground floor: errors, units, nouns that stages share, folders, files, records."""
