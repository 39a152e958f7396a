"""What every room uses: errors, registry, schemas, paths, files."""
