"""Arrow tables in, feature values, profiles and masks out."""
