#!/usr/bin/env bash
# The floor: the same machine, tunnel, packages and hooks, driven by one hand-written script.
# floor.sh BASE APP: BASE is the local grid's root filesystem, APP an app folder. Prints nothing but timings.
set -euo pipefail
base=$1 app=$2
work=$(mktemp -d /tmp/tfgrid-floor.XXXXXX)
ns=tgfloor link=tgfl0 wg=wg-floor
forward=$(cat /proc/sys/net/ipv4/ip_forward)

cleanup() {
  ssh -S "$work/ssh" -O exit root@10.231.250.2 2>/dev/null || true
  ip link del $wg 2>/dev/null || true
  [ -f "$work/wg.pid" ] && kill "$(cat "$work/wg.pid")" 2>/dev/null || true
  lxc-stop -P "$work/lxc" -n vm -k 2>/dev/null || true
  umount "$work/root" "$work/store" 2>/dev/null || true
  ip link del $link 2>/dev/null || true
  ip netns del $ns 2>/dev/null || true
  nft delete table ip tfgrid_floor 2>/dev/null || true
  echo "$forward" > /proc/sys/net/ipv4/ip_forward
  rm -rf "$work"
}
trap cleanup EXIT

# Network
ip netns add $ns
ip -n $ns link set lo up
ip link add $link type veth peer name eth0 netns $ns
ip addr add 10.231.250.1/30 dev $link && ip link set $link up
ip -n $ns addr add 10.231.250.2/30 dev eth0 && ip -n $ns link set eth0 up
ip -n $ns route add default via 10.231.250.1
echo 1 > /proc/sys/net/ipv4/ip_forward
nft -f - <<NFT
table ip tfgrid_floor {
  chain post { type nat hook postrouting priority srcnat; ip saddr 10.231.250.0/30 oifname != "$link" masquerade; }
}
NFT

# Machine
mkdir -p "$work"/{store,root,lxc/vm}
truncate -s 10G "$work/disk" && mkfs.ext4 -q -F -m 0 -E lazy_itable_init=1,nodiscard "$work/disk"
mount -o loop "$work/disk" "$work/store" && mkdir "$work/store/"{upper,work} && chmod 755 "$work/store/upper"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/store/upper,workdir=$work/store/work" "$work/root"
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
echo vm > "$work/root/etc/hostname"
rm -f "$work/root/etc/resolv.conf" && cp /etc/resolv.conf "$work/root/etc/resolv.conf"
cp "$work/key.pub" "$work/root/root/.ssh/authorized_keys" && chmod 600 "$work/root/root/.ssh/authorized_keys"
ssh-keygen -q -t ed25519 -N '' -f "$work/root/etc/ssh/ssh_host_ed25519_key"
cat > "$work/lxc/vm/config" <<LXC
lxc.include = /usr/share/lxc/config/common.conf
lxc.arch = amd64
lxc.uts.name = vm
lxc.rootfs.path = dir:$work/root
lxc.namespace.share.net = /run/netns/$ns
lxc.apparmor.profile = unconfined
LXC
lxc-start -P "$work/lxc" -n vm -d

# Tunnel
umask 077
wg genkey > "$work/a"; wg genkey > "$work/b"
wg pubkey < "$work/a" > "$work/a.pub"; wg pubkey < "$work/b" > "$work/b.pub"
if ! ip -n $ns link add wgfloor type wireguard 2>/dev/null; then
  ip netns exec $ns wireguard-go -f wgfloor >/dev/null 2>&1 & echo $! > "$work/wg.pid"
  until [ -S /run/wireguard/wgfloor.sock ]; do sleep 0.02; done
fi
ip netns exec $ns wg set wgfloor private-key "$work/a" listen-port 51999 peer "$(cat "$work/b.pub")" allowed-ips 10.231.251.2/32
ip -n $ns addr add 10.231.251.1/24 dev wgfloor && ip -n $ns link set wgfloor up
cat > "$work/$wg.conf" <<WG
[Interface]
Address = 10.231.251.2
PrivateKey = $(cat "$work/b")
[Peer]
PublicKey = $(cat "$work/a.pub")
AllowedIPs = 10.231.251.0/24
Endpoint = 10.231.250.2:51999
WG
wg-quick up "$work/$wg.conf" >/dev/null 2>&1
umask 022

# Reach
run() { ssh -F none -i "$work/key" -S "$work/ssh" -o ControlMaster=auto -o ControlPersist=60 -o LogLevel=ERROR \
  -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=2 root@10.231.251.1 "$@"; }
until run true 2>/dev/null; do sleep 0.05; done

# Platform: the packages, files and services of the single-vm playbook, in one script.
run bash -s <<'PLATFORM'
set -eu
export DEBIAN_FRONTEND=noninteractive
systemctl stop apt-daily.timer apt-daily-upgrade.timer
printf 'DPkg::Lock::Timeout "300";\nAcquire::Retries "3";\n' > /etc/apt/apt.conf.d/90tfgrid
apt-get update -qq
apt-get install -qq -y --no-install-recommends ca-certificates curl git gnupg htop jq nftables rsync unzip vim-tiny wget locales tzdata >/dev/null
echo LANG=C.UTF-8 > /etc/default/locale
ln -sf /usr/share/zoneinfo/Etc/UTC /etc/localtime; echo Etc/UTC > /etc/timezone
printf 'net.core.somaxconn = 1024\n' > /etc/sysctl.d/60-tfgrid.conf; sysctl -q -e -p /etc/sysctl.d/60-tfgrid.conf 2>/dev/null || true
mkdir -p /etc/systemd/journald.conf.d; printf '[Journal]\nStorage=persistent\nSystemMaxUse=200M\n' > /etc/systemd/journald.conf.d/60-tfgrid.conf
systemctl restart systemd-journald
printf 'PermitRootLogin prohibit-password\nPasswordAuthentication no\n' > /etc/ssh/sshd_config.d/10-tfgrid.conf
systemctl reload ssh
cat > /etc/nftables.conf <<NFT
table inet tfgrid {
  chain input { type filter hook input priority filter; policy drop; iif lo accept; ct state established,related accept
    meta l4proto icmp accept; udp dport 51999 accept; tcp dport { 22, 80 } accept; }
}
NFT
nft -f /etc/nftables.conf; systemctl enable --quiet nftables
useradd --system --no-create-home --shell /usr/sbin/nologin app
mkdir -p /etc/tfgrid-compose /opt/tfgrid-compose/app/releases /var/log/tfgrid-compose /var/lib/app
echo TFGRID_APP_NAME=app > /etc/tfgrid-compose/machine.env
systemctl start apt-daily.timer apt-daily-upgrade.timer
PLATFORM

# Ship and hooks
run 'mkdir -p /tmp/app-deployment /tmp/app-source'
tar -cz -C "$app/deployment" . | run 'tar -xz -C /tmp/app-deployment'
tar -cz -C "$app/src" . | run 'tar -xz -C /tmp/app-source'
start=$(date +%s.%N)
for hook in setup configure healthcheck; do
  run "cd /tmp/app-deployment && GREETING=Hello APP_VERSION=1.0.0 PRIMARY_IP=10.231.251.1 DEBIAN_FRONTEND=noninteractive ./$hook.sh" >/dev/null 2>&1
done
start_again=$(date +%s.%N)
for hook in setup configure healthcheck; do
  run "cd /tmp/app-deployment && GREETING=Hello APP_VERSION=1.0.0 PRIMARY_IP=10.231.251.1 DEBIAN_FRONTEND=noninteractive ./$hook.sh" >/dev/null 2>&1
done
curl --fail --silent --max-time 5 http://10.231.251.1/ >/dev/null
end=$(date +%s.%N)
echo "hooks_first $(echo "$start_again - $start" | bc 2>/dev/null || awk "BEGIN{print $start_again - $start}")"
echo "hooks_again $(awk "BEGIN{print $end - $start_again}")"
