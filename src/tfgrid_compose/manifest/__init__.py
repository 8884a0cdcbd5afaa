"""What the user wrote: manifest, environment file, sizes and source bundle. Pure data, no effects."""
