#!/bin/sh
# redirect.sh GATE_UID PORT|refuse
#
# Leaves the processes of this network namespace no way out but the gate: the TCP connections that anyone but GATE_UID opens
# are handed to the gate on PORT of the loopback, or refused where apps name the gate themselves. All else that would leave is refused but
# questions to the name servers of /etc/resolv.conf. While no gate listens, nobody gets anywhere.
#
# Run it with CAP_NET_ADMIN before any app starts; run again, it changes nothing. Who may become GATE_UID, or has
# CAP_NET_ADMIN, can go around: run apps without capabilities and as another user.
set -eu
PATH=$PATH:/usr/sbin:/sbin

wrong() { echo "redirect.sh: $1" >&2; exit 2; }
number() { case $1 in '' | *[!0-9]* | 0*) return 1 ;; esac; }

[ $# = 2 ] || wrong 'usage: redirect.sh GATE_UID PORT|refuse'
gate_uid=$1 to=$2
number "$gate_uid" || wrong "GATE_UID \`$gate_uid\` is not a user id above 0: write the number that the gate's container runs as"
[ "$to" = refuse ] || { number "$to" && [ "${#to}" -le 5 ] && [ "$to" -le 65535 ]; } ||
    wrong "PORT \`$to\` is not a port: write the one of gate.listen, such as 8080, or \`refuse\`"

# Set by the manifests. On its node's network a pod has no rules of its own: these would be the node's.
[ -z "${HOST_IP:-}" ] || [ "${POD_IP:-}" != "$HOST_IP" ] ||
    wrong "the pod has its node's address $HOST_IP: remove \`hostNetwork\`, nothing has been changed"

# Prints the nat rules of a family: $1 holds its name servers.
nat() {
    echo '*nat'
    # Declared anew, a chain that is there is emptied.
    echo ':HALLGATE - [0:0]'
    if [ "$to" != refuse ]; then
        echo "-A HALLGATE -m owner --uid-owner $gate_uid -j RETURN"
        echo '-A HALLGATE -o lo -j RETURN'
        for server in $1; do
            echo "-A HALLGATE -d $server -p tcp --dport 53 -j RETURN"
        done
        echo "-A HALLGATE -p tcp -j REDIRECT --to-ports $to"
    fi
    echo COMMIT
}

# Prints the filter rules of a family: $1 holds its name servers, $2 the loopback, $3 how its kernel finds neighbours.
filter() {
    echo '*filter'
    echo ':HALLGATE - [0:0]'
    echo "-A HALLGATE -m owner --uid-owner $gate_uid -j RETURN"
    echo '-A HALLGATE -o lo -j RETURN'
    # What was just redirected still has the device on which it would have left.
    echo "-A HALLGATE -d $2 -j RETURN"
    # Answers to those who called.
    echo '-A HALLGATE -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN'
    for server in $1; do
        echo "-A HALLGATE -d $server -p udp --dport 53 -j RETURN"
        echo "-A HALLGATE -d $server -p tcp --dport 53 -j RETURN"
    done
    for type in $3; do
        echo "-A HALLGATE -p icmpv6 --icmpv6-type $type -j RETURN"
    done
    echo '-A HALLGATE -p tcp -j REJECT --reject-with tcp-reset'
    echo '-A HALLGATE -j REJECT'
    echo COMMIT
}

# Puts the rules of one family in force: $1 its command, then what `filter` takes.
put() {
    # What refuses comes first, so that there is no moment in which a connection could leave.
    filter "$2" "$3" "$4" | "$1-restore" -w --noflush
    "$1" -w -C OUTPUT -j HALLGATE 2>/dev/null || "$1" -w -I OUTPUT 1 -j HALLGATE
    nat "$2" | "$1-restore" -w --noflush
    "$1" -w -t nat -C OUTPUT -j HALLGATE 2>/dev/null || "$1" -w -t nat -I OUTPUT 1 -j HALLGATE
}

servers4='' servers6=''
while read -r key server _; do
    [ "$key" = nameserver ] || continue
    case $server in
        *:*) servers6="$servers6 ${server%%\%*}" ;;
        *) servers4="$servers4 $server" ;;
    esac
done </etc/resolv.conf

put iptables "$servers4" 127.0.0.0/8 ''
# A kernel without IPv6 has nothing to close; one that has it and cannot be told to redirect is no place for an app.
if [ -e /proc/net/if_inet6 ]; then
    put ip6tables "$servers6" ::1/128 'router-solicitation neighbour-solicitation neighbour-advertisement'
fi
echo "redirect.sh: outbound TCP of all but uid $gate_uid: $to" >&2
