"""The ground floor: errors, units, the nouns that stages share, folders, files, records that people write."""
