locals {
  vm        = grid_deployment.vm.vms[0]
  ipv4      = var.provision_ipv4 ? split("/", local.vm.computedip)[0] : ""
  ipv6      = var.provision_ipv6 ? split("/", local.vm.computedip6)[0] : ""
  mycelium  = var.provision_mycelium ? local.vm.mycelium_ip : ""
  wireguard = var.provision_wireguard ? local.vm.ip : ""
}

output "machines" {
  description = "Every machine with its role, node, contract and addresses"
  value = [{
    name         = local.vm.name
    role         = "vm"
    node         = grid_deployment.vm.node
    contract     = grid_deployment.vm.id
    private_ip   = local.vm.ip
    wireguard_ip = local.wireguard
    mycelium_ip  = local.mycelium
    ipv4_address = local.ipv4
    ipv6_address = local.ipv6
  }]
}

output "wg_config" {
  description = "WireGuard configuration of the user's end"
  value       = grid_network.network.access_wg_config
  sensitive   = true
}

output "contracts" {
  description = "Every contract, by what it holds"
  value = {
    network = values(grid_network.network.node_deployment_id)
    vm      = [tonumber(grid_deployment.vm.id)]
  }
}

output "primary_ip" {
  value = coalesce(local.ipv4, local.mycelium, local.wireguard, local.ipv6, local.vm.ip)
}

output "primary_ip_type" {
  value = local.ipv4 != "" ? "ipv4" : local.mycelium != "" ? "mycelium" : local.wireguard != "" ? "wireguard" : "ipv6"
}

output "deployment_name" {
  value = grid_deployment.vm.name
}

output "node_ids" {
  value = [grid_deployment.vm.node]
}

output "wireguard_ip" {
  value = local.wireguard
}

output "mycelium_ip" {
  value = local.mycelium
}

output "ipv4_address" {
  value = local.ipv4
}

output "ipv6_address" {
  value = local.ipv6
}
