variable "mnemonic" {
  description = "Mnemonic of the grid account"
  type        = string
  sensitive   = true
}

variable "tfgrid_network" {
  description = "Grid network: main, test, qa or dev"
  type        = string
}

variable "deployment_id" {
  description = "Id of the deployment; every name on the grid is made from it"
  type        = string
}

variable "app_name" {
  description = "Name of the deployment, in the contracts' public metadata"
  type        = string
}

variable "ip_range" {
  description = "Private /16 of this deployment"
  type        = string
}

variable "SSH_KEY" {
  description = "Public keys that may log in, one a line"
  type        = string
}

variable "vm_node" {
  description = "Node of the machine"
  type        = number
}

variable "vm_cpu" {
  description = "Cores"
  type        = number
}

variable "vm_mem" {
  description = "Memory in MB"
  type        = number
}

variable "vm_disk" {
  description = "Root disk in GB"
  type        = number
}

variable "data_disks" {
  description = "Disks for data: name, size in GB, mount point"
  type        = list(object({ name = string, size = number, mount = string }))
}

variable "provision_wireguard" {
  description = "Whether to make a WireGuard access point"
  type        = bool
}

variable "provision_mycelium" {
  description = "Whether the machine gets a mycelium address"
  type        = bool
}

variable "provision_ipv4" {
  description = "Whether to rent a public IPv4"
  type        = bool
}

variable "provision_ipv6" {
  description = "Whether to have a public IPv6"
  type        = bool
}

variable "mycelium_key" {
  description = "Private key of the network's mycelium node, 32 bytes in hex"
  type        = string
  sensitive   = true
}

variable "vm_ip_seed" {
  description = "Seed of the machine's mycelium address, 6 bytes in hex"
  type        = string
}

variable "vm_flist" {
  description = "Image of the machine"
  type        = string
}

variable "vm_entrypoint" {
  description = "First process of the machine"
  type        = string
}
