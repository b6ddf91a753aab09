"""The audit: any card, hubkit's or not, held against adapter, record, base and the Hub's rules."""
