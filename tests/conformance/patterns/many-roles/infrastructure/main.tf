terraform {
  required_providers {
    grid = {
      source  = "threefoldtech/grid"
      version = "~> 1.11.3"
    }
  }
}

provider "grid" {
  mnemonic    = var.mnemonic
  network     = var.tfgrid_network
  key_type    = "sr25519"
  rmb_timeout = 30
}

locals {
  machines = concat(
    [for index, node in var.roles.gateway.nodes : { name = "gateway_${index}", role = "gateway", node = node }],
    [for index, node in var.roles.backend.nodes : { name = "backend_${index}", role = "backend", node = node }],
  )
  nodes = distinct(flatten([for role in values(var.roles) : role.nodes]))
}

resource "grid_network" "network" {
  name          = "net_${var.deployment_id}"
  nodes         = local.nodes
  ip_range      = var.ip_range
  add_wg_access = var.network.wireguard
  mycelium_keys = var.network.mycelium ? { for node in local.nodes : tostring(node) => var.mycelium_key } : {}
}

resource "grid_deployment" "machines" {
  count        = length(local.machines)
  name         = "${local.machines[count.index].name}_${var.deployment_id}"
  node         = local.machines[count.index].node
  network_name = grid_network.network.name

  dynamic "disks" {
    for_each = local.machines[count.index].role == "backend" ? var.data_disks : []
    content {
      name = disks.value.name
      size = disks.value.size
    }
  }

  vms {
    name             = local.machines[count.index].name
    flist            = "https://hub.grid.tf/tf-official-vms/ubuntu-24.04-full.flist"
    entrypoint       = "/sbin/zinit init"
    cpu              = var.roles[local.machines[count.index].role].cpu
    memory           = var.roles[local.machines[count.index].role].memory
    rootfs_size      = var.roles[local.machines[count.index].role].disk * 1024
    publicip         = var.network.ipv4 && local.machines[count.index].role == "gateway"
    publicip6        = var.network.ipv6
    planetary        = false
    mycelium_ip_seed = var.network.mycelium ? substr(var.seeds, 0, 12) : null

    env_vars = {
      SSH_KEY = var.SSH_KEY
      PORTS   = join(",", var.ports)
    }

    dynamic "mounts" {
      for_each = local.machines[count.index].role == "backend" ? var.data_disks : []
      content {
        name        = mounts.value.name
        mount_point = mounts.value.mount
      }
    }
  }
}

resource "grid_deployment" "stores" {
  node = var.roles.backend.node
  name = "stores_${var.deployment_id}"

  zdbs {
    name     = "meta"
    password = var.zdb_password
    size     = var.zdb_size
    mode     = "user"
  }
  zdbs {
    name     = "data"
    password = var.zdb_password
    size     = var.zdb_size
    mode     = "seq"
    public   = true
  }
}

resource "grid_deployment" "files" {
  node         = var.roles.backend.node
  name         = "files_${var.deployment_id}"
  network_name = grid_network.network.name

  qsfs {
    name                  = "qsfs"
    cache                 = 10240
    minimal_shards        = 1
    expected_shards       = 1
    redundant_groups      = 0
    redundant_nodes       = 0
    max_zdb_data_dir_size = 512
    encryption_key        = var.qsfs_key
    metadata {
      prefix         = "qsfs"
      encryption_key = var.qsfs_key
      backends {
        address   = "[300::1]:9900"
        namespace = grid_deployment.stores.zdbs[0].namespace
        password  = var.zdb_password
      }
    }
    groups {
      backends {
        address   = "[300::1]:9900"
        namespace = grid_deployment.stores.zdbs[1].namespace
        password  = var.zdb_password
      }
    }
  }

  vms {
    name   = "files"
    flist  = "https://hub.grid.tf/tf-official-apps/base:latest.flist"
    memory = 1024
    mounts {
      name        = "qsfs"
      mount_point = "/qsfs"
    }
  }
}

resource "grid_kubernetes" "cluster" {
  name         = "k8s_${var.deployment_id}"
  network_name = grid_network.network.name
  token        = var.cluster_token
  ssh_key      = var.SSH_KEY

  master {
    name      = "master"
    node      = var.roles.master.node
    cpu       = var.roles.master.cpu
    memory    = var.roles.master.memory
    disk_size = var.roles.master.disk
    publicip  = var.network.ipv4
  }

  dynamic "workers" {
    for_each = var.roles.worker.nodes
    content {
      name             = "worker_${workers.key}"
      node             = workers.value
      cpu              = var.roles.worker.cpu
      memory           = var.roles.worker.memory
      disk_size        = var.roles.worker.disk
      mycelium_ip_seed = var.network.mycelium ? substr(var.seeds, 12, 12) : null
    }
  }
}

resource "grid_scheduler" "scheduler" {
  requests {
    name      = "gateway"
    cru       = 1
    mru       = 1024
    sru       = 10240
    wireguard = var.network.wireguard
    yggdrasil = false
  }
}

data "grid_gateway_domain" "gateway" {
  name = "gw${substr(var.deployment_id, 0, 10)}"
  node = var.roles.gateway.node
}

resource "grid_name_proxy" "name" {
  name            = "gw${substr(var.deployment_id, 0, 10)}"
  node            = var.roles.gateway.node
  backends        = [var.tls_passthrough ? "${grid_deployment.machines[0].vms[0].ip}:443" : "http://${grid_deployment.machines[0].vms[0].ip}"]
  network         = grid_network.network.name
  tls_passthrough = var.tls_passthrough
}

resource "grid_fqdn_proxy" "fqdn" {
  name            = "fqdn_${var.deployment_id}"
  node            = var.roles.gateway.node
  fqdn            = var.domain
  backends        = ["http://${grid_deployment.machines[0].vms[0].ip}"]
  tls_passthrough = var.tls_passthrough
}

output "machines" {
  value = [for index, machine in local.machines : {
    name         = machine.name
    role         = machine.role
    node         = machine.node
    contract     = grid_deployment.machines[index].id
    wireguard_ip = grid_deployment.machines[index].vms[0].ip
    ipv4_address = try(split("/", grid_deployment.machines[index].vms[0].computedip)[0], "")
  }]
}

output "contracts" {
  value = {
    network = values(grid_network.network.node_deployment_id)
    vm      = [for machine in grid_deployment.machines : tonumber(machine.id)]
    cluster = values(grid_kubernetes.cluster.node_deployment_id)
    names   = [grid_name_proxy.name.name_contract_id]
  }
}

output "fqdn" {
  value = [grid_name_proxy.name.fqdn, data.grid_gateway_domain.gateway.fqdn]
}
