variable "mnemonic" {
  type      = string
  sensitive = true
}
variable "tfgrid_network" {
  type = string
}
variable "deployment_id" {
  type = string
}
variable "app_name" {
  type = string
}
variable "ip_range" {
  type = string
}
variable "SSH_KEY" {
  type = string
}
variable "roles" {
  type = map(object({ cpu = number, memory = number, disk = number, node = number, nodes = list(number), count = number }))
}
variable "data_disks" {
  type = list(object({ name = string, size = number, mount = string }))
}
variable "network" {
  type = object({ wireguard = bool, mycelium = bool, ipv4 = bool, ipv6 = bool })
}
variable "ports" {
  type = list(number)
}
variable "mycelium_key" {
  type = string
}
variable "seeds" {
  type = string
}
variable "cluster_token" {
  type = string
}
variable "zdb_password" {
  type = string
}
variable "qsfs_key" {
  type = string
}
variable "domain" {
  type = string
}
variable "tls_passthrough" {
  type = bool
}
variable "zdb_size" {
  type = number
}
