"""A grid on this computer: real machines, networks, tunnels and contracts behind the grid's own interfaces.

`engine` is the façade; `provider` speaks Terraform's plugin protocol; `plugin` is what
`grids.registry` loads. Nothing outside this room imports it.
"""
