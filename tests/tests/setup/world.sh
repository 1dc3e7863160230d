#!/bin/bash
# A Debian machine of its own, over this one: every file that is there can be read, what is written stays
# here, processes end with it. its network is its own, too. Called as root by unshare:
#   world.sh DIR CHECKOUT PROGRAMS
# makes it below DIR, with this checkout's files in /root/lifeboat, PostgreSQL as Debian sets it up, Odoo's user
# with data in its closed directory, and runs the script of standard input in it, as root, as if it were typed.
set -euo pipefail
ip link set lo up
dir=$1 checkout=$2 programs=$3
exec 5<&0 </dev/null

mount -t tmpfs -o mode=755 tmpfs "$dir" # what is written; an overlay cannot lie upon another one's files
mkdir "$dir/upper" "$dir/work" "$dir/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
root=$dir/root
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

# ---------------------------------------------------------------- what the page expects to be there
mkdir -p "$root/root/lifeboat" "$root/root/programs"
cp -r "$checkout"/{README.md,docs,runbooks,deploy,Cargo.toml} "$root/root/lifeboat/"
cp "$programs"/{lifeboat,restore-drill,make-tenant} "$root/root/programs/"
chmod 755 "$root"/root/programs/*
rm -rf "$root"/etc/postgresql/* "$root"/var/lib/postgresql/* "$root"/etc/lifeboat "$root"/var/lib/lifeboat* "$root"/var/lib/odoo
tool() { cat >"$root/usr/local/sbin/$1"; chmod 755 "$root/usr/local/sbin/$1"; }
# sudo, as far as pages use it: of its own rules the one that matters, a new environment.
tool sudo <<'TOOL'
#!/bin/bash
user=root shell=no set=()
while :; do
    case ${1:-} in
        -u) user=$2; shift 2 ;;
        -s | -i) shell=yes; shift ;;
        *=*) set+=("$1"); shift ;;
        *) break ;;
    esac
done
[ "$shell" = no ] || set -- /bin/bash -ex # what is typed next comes to this shell
exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups -- env -i PATH="$PATH" LANG=C.UTF-8 \
    HOME="$(getent passwd "$user" | cut -d: -f6)" USER="$user" LOGNAME="$user" "${set[@]}" "$@"
TOOL
# systemd does not run here: a unit's own line is run, as its user, in the background.
tool systemctl <<'TOOL'
#!/bin/bash
[ "$1" != daemon-reload ] || exit 0
unit=/etc/systemd/system/${!#}.service
case $1 in
    enable | start)
        line=$(sed -n 's/^ExecStart=//p' "$unit") user=$(sed -n 's/^User=//p' "$unit")
        # shellcheck disable=SC2086
        sudo -u "$user" setsid $line >"/var/log/${!#}.log" 2>&1 </dev/null &
        ;;
    status) pgrep -u "$(sed -n 's/^User=//p' "$unit")" -f "$(sed -n 's/^ExecStart=//p' "$unit")" >/dev/null || exit 3 ;;
    *) exit 4 ;;
esac
TOOL
tool apt-get <<<'#!/bin/sh'
tool cargo <<'TOOL'
#!/bin/sh
mkdir -p target/release && cp /root/programs/lifeboat /root/programs/restore-drill target/release/
TOOL
tool in-here <<'TOOL'
#!/bin/bash
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root LOGNAME=root LANG=C.UTF-8
version=$(ls /usr/lib/postgresql | sort -V | tail -1)
install -d -o postgres -g postgres /etc/postgresql /var/lib/postgresql
install -d -o postgres -g postgres -m 2775 /run/postgresql
pg_createcluster "$version" main -p 5432 -- --no-sync >/dev/null
cat >>"/etc/postgresql/$version/main/postgresql.conf" <<SETTINGS
fsync = off
SETTINGS
pg_ctlcluster "$version" main start
getent passwd odoo >/dev/null || useradd --system --user-group --home-dir /var/lib/odoo --shell /usr/sbin/nologin odoo
install -d -o odoo -g odoo /var/lib/odoo
data=/var/lib/odoo/.local/share/Odoo
setpriv --reuid=odoo --regid=odoo --init-groups sh -c "umask 022; mkdir -p ${data%/*}; mkdir -m 700 $data; mkdir $data/filestore"
sudo -u postgres psql -Xqc "CREATE ROLE odoo LOGIN CREATEDB"
install -m 755 /root/programs/make-tenant /usr/local/bin/
for tenant in shop retail_north; do
    sudo -u odoo sh -c "cd; make-tenant --host /run/postgresql --port 5432 --user odoo --database $tenant --data-dir $data --seed ${#tenant}" >/dev/null
done
cd /root/lifeboat
exec bash -ex <&5
TOOL
exec chroot "$root" /usr/local/sbin/in-here
