"""From files of people to a corpus: documents read, checked, split and written as shards."""
