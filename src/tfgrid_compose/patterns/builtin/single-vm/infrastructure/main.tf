terraform {
  required_providers {
    grid = {
      source  = "threefoldtech/grid"
      version = "~> 1.11.3"
    }
  }
}

provider "grid" {
  mnemonic = var.mnemonic
  network  = var.tfgrid_network
}

resource "grid_network" "network" {
  name          = "net_${var.deployment_id}"
  description   = "tfgrid-compose ${var.deployment_id}"
  solution_type = "tfgrid-compose/${var.app_name}"
  ip_range      = var.ip_range
  nodes         = [var.vm_node]
  add_wg_access = var.provision_wireguard
  mycelium_keys = var.provision_mycelium ? { (tostring(var.vm_node)) = var.mycelium_key } : {}
}

resource "grid_deployment" "vm" {
  name          = "vm_${var.deployment_id}"
  node          = var.vm_node
  network_name  = grid_network.network.name
  solution_type = "tfgrid-compose/${var.app_name}"

  dynamic "disks" {
    for_each = var.data_disks
    content {
      name        = disks.value.name
      size        = disks.value.size
      description = "data of ${var.deployment_id}"
    }
  }

  vms {
    name             = "vm"
    flist            = var.vm_flist
    entrypoint       = var.vm_entrypoint
    cpu              = var.vm_cpu
    memory           = var.vm_mem
    rootfs_size      = var.vm_disk * 1024
    publicip         = var.provision_ipv4
    publicip6        = var.provision_ipv6
    mycelium_ip_seed = var.provision_mycelium ? var.vm_ip_seed : null

    env_vars = {
      SSH_KEY = var.SSH_KEY
    }

    dynamic "mounts" {
      for_each = var.data_disks
      content {
        name        = mounts.value.name
        mount_point = mounts.value.mount
      }
    }
  }
}
