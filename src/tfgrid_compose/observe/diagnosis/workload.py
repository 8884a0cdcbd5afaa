"""What the grid refuses in the description of a machine, network or disk."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_GRID = ("grid",)

ROWS = (
    Failure(
        code="name-characters",
        patterns=("must only include alphanumeric and underscore characters", "unsupported character in workload name"),
        reason="a name of the pattern holds something else than letters, digits and underscores",
        fix="use `_` for `-` and `.` in the names of the pattern's resources",
        about=(
            "Networks, machines and disks on the grid are named with letters, digits and `_` only. A dash in the name of "
            "a disk is the usual cause. The app's own name may have dashes."
        ),
        scope=_GRID,
    ),
    Failure(
        code="name-too-long",
        patterns=("name cannot exceed 36 characters",),
        reason="a name is longer than 36 characters",
        fix="choose a shorter name",
        about="Names of machines and disks become tags of file systems on the node, and those have room for 36 characters.",
        scope=_GRID,
    ),
    Failure(
        code="memory-out-of-range",
        patterns=("memory capacity can't be less that", "mem capacity can't be less that", "memory… to be in the range ("),
        reason="a machine's memory is outside of what the grid allows",
        fix="tfgrid-compose up {name} --memory 1G",
        about=(
            "A machine has 256 MB to 256 GB of memory. A pattern that leaves memory out asks for 0, which is refused in "
            "the same words."
        ),
        scope=_GRID,
    ),
    Failure(
        code="cpu-out-of-range",
        patterns=("CPUs must be more than or equal to", "CPU… to be in the range ("),
        reason="a machine's number of cores is outside of what the grid allows",
        fix="tfgrid-compose up {name} --cpu 2",
        about="A machine has 1 to 32 cores.",
        scope=_GRID,
    ),
    Failure(
        code="rootfs-too-small",
        patterns=("rootfs size can't be less than", "disk size can't be less that", "rootfs_size… to be in the range ("),
        reason="a machine's disk is smaller than the grid allows for its size",
        fix="tfgrid-compose up {name} --disk 10",
        about="The root file system needs at least 500 MB, and 2 GB for larger machines; the provider asks for 1 GB or more.",
        scope=_GRID,
    ),
    Failure(
        code="value-out-of-range",
        patterns=("expected … to be in the range (",),
        reason="a value of the pattern is outside of the range that the message names",
        fix="mend that value in the app's manifest or in the pattern, then run `tfgrid-compose up {name}`",
        about=(
            "The provider checks sizes before it does anything. A disk has 1 to 10240 GB. The message names the value, "
            "and how large it may be."
        ),
        scope=_GRID,
    ),
    Failure(
        code="value-unknown",
        patterns=("expected … to be one of",),
        reason="a value of the pattern is none of those that the message lists",
        fix="write one of them in the pattern, then run `tfgrid-compose up {name}`",
        about=(
            "The provider takes one of a few words there. Its networks are main, test, qa and dev, its types of keys sr25519 "
            "and ed25519; older names such as mainnet are refused."
        ),
        scope=_GRID,
    ),
    Failure(
        code="image-unreachable",
        patterns=("failed to download flist",),
        reason="this computer could not ask the hub for the machine's image",
        fix="check that https://hub.grid.tf answers, then run `tfgrid-compose up {name}`",
        about=(
            "The provider asks the hub whether the image (flist) exists, from this computer. The address is misspelt, the "
            "hub is down, or a firewall is in the way. `curl -I` with the address of the image shows which."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="image-invalid",
        patterns=("should have a valid flist extension",),
        reason="the address of the machine's image does not end in .flist or .fl",
        fix="choose an image from https://hub.grid.tf; its address ends in .flist",
        about=(
            "Machines start from an flist, a list of files that the hub serves. The address of a disk image or container "
            "is no flist."
        ),
        scope=_GRID,
    ),
    Failure(
        code="image-checksum",
        patterns=("passed checksum … does not match",),
        reason="the image has changed since its checksum was written down",
        fix="put the new checksum into the pattern, or leave flist_checksum out",
        about=(
            "The hub serves the checksum of an image under its address with .md5 at the end. It changes when the image is "
            "updated."
        ),
        scope=_GRID,
    ),
    Failure(
        code="image-mount",
        patterns=(
            "failed to mount flist",
            "ro mount of flist failed",
            "failed to get flist hash",
            "was not mounted in time",
        ),
        reason="the node could not load the machine's image",
        fix="tfgrid-compose up {name} --node ID",
        about=(
            "The node fetches the image from the hub while the machine starts. Its connection is slow or broken, or the "
            "hub is down. It may pass; another node is the surer way."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="network-name-reserved",
        patterns=("is reserved network name",),
        reason="the network's name is one that the grid keeps for itself",
        fix="choose another name than ygg, pub and mycelium",
        about="Nodes have networks of these names already. Any other name will do.",
        scope=_GRID,
    ),
    Failure(
        code="address-outside",
        patterns=(
            "is not part of local nr subnet",
            "^ip … is reserved",
            ": ip … is reserved",
            "doesn't contain ip",
            "^ip … is used by another machine",
            ": ip … is used by another machine",
        ),
        reason="the private address that the pattern asks for is not free in its network",
        fix="leave `ip` out of the pattern's machine, and the grid chooses one",
        about=(
            "Every node has a /24 of the deployment's /16. Addresses .0, .1 and .255 are the grid's own, and every other "
            "is used once."
        ),
        scope=_GRID,
    ),
    Failure(
        code="network-unknown",
        patterns=("network name is invalid", "invalid ip range"),
        reason="the machine's network does not exist, or the provider has forgotten it",
        fix="in the pattern write `network_name = grid_network.NAME.name`, and keep the provider's state.json",
        about=(
            "A machine is joined to a network by name, and the network has to be made first; a reference instead of a "
            "text sees to that. The real provider also keeps the ranges of networks in a file state.json in its working "
            "folder."
        ),
        scope=_GRID,
    ),
    Failure(
        code="addresses-exhausted",
        patterns=("ips of the network are exhausted", "could not find a free ip to add node"),
        reason="the node's part of the network has no free address",
        fix="spread the machines over several nodes",
        about="A network has 253 addresses on each node. A deployment that needs more has to use more nodes.",
        scope=_GRID,
    ),
    Failure(
        code="range-not-16",
        patterns=("subnet in ip range … should be 16", "ip_range… to contain a valid", "ip_range… to contain a network"),
        reason="the network's range is not a /16",
        fix="write it as x.y.0.0/16, for example 10.20.0.0/16",
        about="Every network of the grid has a /16, written with zeros in its last two parts. Other sizes are refused.",
        scope=_GRID,
    ),
    Failure(
        code="image-needs-disk",
        patterns=("at least one mount has to be attached for Vm mode",),
        reason="this kind of image needs a disk of its own to start from",
        fix="add a disk as the machine's first mount, or choose another image",
        about=(
            "An image with a file image.raw is written to the first disk, and the machine boots from it. Images without "
            "that file need no disk."
        ),
        scope=_GRID,
    ),
    Failure(
        code="mycelium-seed",
        patterns=(
            "invalid mycelium ip seed length",
            "invalid mycelium seed length",
            "failed to decode mycelium ip seed",
            "invalid seed",
        ),
        reason="the seed of the mycelium address does not have 12 hex digits",
        fix="write 12 hex digits, not all of them 0 and not all of them f",
        about=(
            "The last part of a mycelium address is made from 6 bytes, written as 12 hex digits. Patterns usually take "
            "them from `random_bytes` with length 6."
        ),
        scope=_GRID,
    ),
    Failure(
        code="mycelium-key",
        patterns=(
            "invalid mycelium key length",
            "network has no mycelium key on this node",
            "for mycelium key, must be included",
            "failed to decode mycelium key",
        ),
        reason="the network's mycelium keys and its nodes don't fit together",
        fix="give `mycelium_keys` one key of 64 hex digits for every node of the network, and for no other",
        about=(
            "A machine with a mycelium address needs a network that has a mycelium key on the same node. Keys of nodes "
            "that are not in the network are refused."
        ),
        scope=_GRID,
    ),
    Failure(
        code="mount-without-disk",
        patterns=("mount … was not found", "disk or qsfs with this name was not found"),
        reason="a machine mounts a disk that the deployment does not have",
        fix="use the same name in `mounts` and `disks` of the pattern",
        about=(
            "Disks are listed beside the machines of a deployment, and a machine mounts them by name. The name is "
            "misspelt, or the disk is in another deployment."
        ),
        scope=_GRID,
    ),
    Failure(
        code="network-range-changed",
        patterns=("network name exists with range",),
        reason="a network of this name exists with another range",
        fix="run `tfgrid-compose down {name}`, then `tfgrid-compose up`",
        about=(
            "A network keeps its range as long as it lives. A pattern that asks for another range under the same name is refused."
        ),
        scope=_GRID,
    ),
    Failure(
        code="network-without-nodes",
        patterns=("nodes must not be empty",),
        reason="the network has no node",
        fix="give `nodes` of the pattern's network the nodes of all its machines",
        about="A network exists on the nodes that it names, and on at least one.",
        scope=_GRID,
    ),
    Failure(
        code="cluster-token",
        patterns=("token must be at least", "at most 15", "should be alphanumeric"),
        reason="the cluster's token does not have 6 to 15 letters and digits",
        fix="leave the token out of the pattern's variables, and one is made; or choose one of 6 to 15 letters and digits",
        about=(
            "The nodes of a Kubernetes cluster know each other by this token. The grid's provider limits its length and "
            "characters."
        ),
        scope=_GRID,
    ),
    Failure(
        code="light-node",
        patterns=("cannot deploy vms with vm-light on the same node", "failed to get workload data"),
        reason="the node is a light one and lacks what the machine asks for",
        fix="tfgrid-compose up {name} --node ID",
        about=(
            "Light nodes have mycelium and nothing else: no public IPv4, no WireGuard, no Yggdrasil. Choose a node whose "
            "features include zmachine and network."
        ),
        scope=_GRID,
    ),
)
