#!/usr/bin/env bash
# Make ~/shared, the folder for data and results, on one node: mount_shared.sh SERVER:/PATH|none
set -euo pipefail

mkdir -p "$HOME/shared"
[ "$1" = none ] && exit
command -v mount.nfs4 >/dev/null || sudo apt-get install --yes nfs-common
mountpoint --quiet "$HOME/shared" ||
  sudo mount -t nfs4 -o nfsvers=4.1,hard,timeo=600,nconnect=4 "$1" "$HOME/shared"
