# What `kubernetes` needs of the host, and what it hands to the daemons: keys, rules, configuration, the cluster's own objects. Sourced,
# never run.
# What the kubelet, kube-proxy, or this script sets on the host; put back by `down`.
sysctls="net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes net.ipv4.conf.all.route_localnet"

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

new_ca() { # NAME
  new_key "$pki/$1.key"
  openssl req -x509 -new -key "$pki/$1.key" -days 3650 -sha256 -subj "/CN=qflow-kubernetes $1" -out "$pki/$1.crt" \
    -addext 'keyUsage=critical,keyCertSign,cRLSign,digitalSignature' 2>/dev/null
}

new_cert() { # NAME CA SUBJECT [SUBJECT-ALT-NAMES]: good for both ends of a connection
  new_key "$pki/$1.key"
  openssl req -new -key "$pki/$1.key" -subj "$3" |
    openssl x509 -req -CA "$pki/$2.crt" -CAkey "$pki/$2.key" -CAcreateserial -days 3650 -sha256 -out "$pki/$1.crt" \
      -extfile <(
        echo 'basicConstraints=critical,CA:FALSE'
        echo 'keyUsage=critical,digitalSignature,keyEncipherment'
        echo 'extendedKeyUsage=serverAuth,clientAuth'
        [ -z "${4:-}" ] || echo "subjectAltName=$4"
      ) 2>/dev/null
}

kubeconfig() { # FILE CERT
  cat >"$1" <<END
apiVersion: v1
kind: Config
clusters:
- name: qflow-kubernetes
  cluster:
    server: https://$node_ip:6443
    certificate-authority-data: $(base64 -w0 <"$pki/ca.crt")
users:
- name: $2
  user:
    client-certificate-data: $(base64 -w0 <"$pki/$2.crt")
    client-key-data: $(base64 -w0 <"$pki/$2.key")
contexts:
- name: qflow-kubernetes
  context: {cluster: qflow-kubernetes, user: $2}
current-context: qflow-kubernetes
END
}

write_keys() {
  local name
  umask 077
  mkdir -p "$pki"
  new_ca ca
  new_key "$pki/service-account.key"
  new_cert etcd ca /CN=etcd IP:127.0.0.1
  new_cert etcd-client ca /CN=kube-apiserver-etcd
  new_cert kube-apiserver ca /CN=kube-apiserver \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:$node_ip,IP:$api_service_ip,IP:127.0.0.1"
  new_cert kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client
  new_cert kubelet-server ca "/CN=$node" "DNS:$node,IP:$node_ip"
  new_cert admin ca /O=system:masters/CN=qflow-kubernetes-admin
  new_cert kube-controller-manager ca /CN=system:kube-controller-manager
  new_cert kube-scheduler ca /CN=system:kube-scheduler
  new_cert kube-proxy ca /CN=system:kube-proxy
  new_cert netpol ca /CN=qflow-kubernetes-netpol
  new_cert kubelet ca "/O=system:nodes/CN=system:node:$node"
  for name in kube-controller-manager kube-scheduler kube-proxy kubelet netpol; do
    kubeconfig "$state/$name.conf" $name
  done
  kubeconfig "$admin" admin
  umask 022
}


chains_drop() { # every rule and chain of ours, and those that Kubernetes leaves
  local tool table rule
  for tool in iptables ip6tables; do
    command -v $tool >/dev/null || continue
    for table in filter nat mangle; do
      local listed
      listed=$($tool -w -t $table -S 2>/dev/null | grep -E 'KUBE-|QFLOWK8S-') || continue
      while read -r rule; do
        # shellcheck disable=SC2086 # one rule is many words; none of ours is quoted but comments
        case $rule in
          "-A KUBE-"* | "-A QFLOWK8S-"*) ;;
          "-A "*) eval "$tool -w -t $table -D ${rule#-A }" 2>/dev/null || true ;;
        esac
      done <<<"$listed"
      while read -r rule; do $tool -w -t $table -F "$rule" || true; done < <(sed -n 's/^-N //p' <<<"$listed")
      while read -r rule; do $tool -w -t $table -X "$rule" || true; done < <(sed -n 's/^-N //p' <<<"$listed")
    done
  done
}

host_up() {
  local name
  modprobe -a overlay br_netfilter 2>/dev/null || true # both may be built in
  if [ ! -e "$state/sysctl.saved" ]; then
    for name in $sysctls; do
      printf '%s=%s\n' "$name" "$(sysctl -n "$name" 2>/dev/null || true)"
    done | grep -v '=$' >"$state/sysctl.saved" || true
  fi
  sysctl -q -w net.ipv4.ip_forward=1
  sysctl -q -w net.bridge.bridge-nf-call-iptables=1 ||
    { echo "this kernel has no br_netfilter: Services would not be reached from pods" >&2; return 1; }
  # A mount in one pod is to be seen by the next, as a volume may ask.
  if [ "$(findmnt -no PROPAGATION /)" != shared ]; then
    mount --make-rshared /
    touch "$state/made-shared"
  fi

  # The node's address lives on a bridge without ports, so that the API server,
  # the kubelet and Services are not on any real network.
  ip link show qflow-node >/dev/null 2>&1 || ip link add qflow-node type bridge
  ip address replace "$node_ip/32" dev qflow-node
  ip link set qflow-node up
  ip route replace "$service_net" dev qflow-node src "$node_ip"

  # Docker sets FORWARD to drop, and that goes for pod to pod on one bridge too.
  chains_drop
  # What NetworkPolicy forbids is dropped before; node to pod is never asked.
  iptables -w -N QFLOWK8S-POLICY
  iptables -w -I INPUT -i qflow-pods -j QFLOWK8S-POLICY
  iptables -w -N QFLOWK8S-FORWARD
  iptables -w -A QFLOWK8S-FORWARD -j QFLOWK8S-POLICY
  iptables -w -A QFLOWK8S-FORWARD -i qflow-pods -o qflow-pods -j ACCEPT
  iptables -w -A QFLOWK8S-FORWARD -o qflow-pods -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  iptables -w -A QFLOWK8S-FORWARD -i qflow-pods -j REJECT --reject-with icmp-net-prohibited
  iptables -w -I FORWARD -j QFLOWK8S-FORWARD
}

host_down() {
  local name group controller
  chains_drop
  ip link delete qflow-pods 2>/dev/null || true
  ip link delete qflow-node 2>/dev/null || true
  awk -v under="$state/kubelet/" 'index($2, under) == 1 {print $2}' /proc/mounts | sort -r |
    while read -r name; do umount "$name" || umount -l "$name" || true; done
  for controller in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -d "$controller/kubepods" ] || continue
    find "$controller/kubepods" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
  if [ -e "$state/sysctl.saved" ]; then
    while read -r name; do sysctl -q -w "$name" 2>/dev/null || true; done <"$state/sysctl.saved"
    rm -f "$state/sysctl.saved"
  fi
  if [ -e "$state/made-shared" ]; then
    mount --make-rprivate / || true
    rm -f "$state/made-shared"
  fi
  find /var/log/containers -lname "$state/*" -delete 2>/dev/null || true
}

# ----------------------------------------------------------------- the daemons


own_objects() {
  cat <<END
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: qflow-kubernetes-netpol}
rules:
- {apiGroups: [""], resources: [pods, namespaces], verbs: [list, watch]}
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: qflow-kubernetes-netpol}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: qflow-kubernetes-netpol}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: qflow-kubernetes-netpol}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: dns, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: qflow-kubernetes-dns}
rules:
- {apiGroups: [""], resources: [services, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: qflow-kubernetes-dns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: qflow-kubernetes-dns}
subjects:
- {kind: ServiceAccount, name: dns, namespace: kube-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: dns, namespace: kube-system}
data:
  Corefile: |
    cluster.local:1053 in-addr.arpa:1053 ip6.arpa:1053 {
        errors
        health :8080
        ready :8181
        kubernetes
        cache 5
    }
    .:1053 {
        template ANY ANY {
            rcode NXDOMAIN
        }
    }
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns}}
    spec:
      serviceAccountName: dns
      priorityClassName: system-cluster-critical
      dnsPolicy: Default
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: dns
        image: localhost/qflow-kubernetes/dns:$image_key
        imagePullPolicy: Never
        args: [-conf, /etc/dns/Corefile]
        ports:
        - {name: dns, containerPort: 1053, protocol: UDP}
        - {name: dns-tcp, containerPort: 1053, protocol: TCP}
        readinessProbe: {httpGet: {path: /ready, port: 8181}, periodSeconds: 1}
        livenessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 10}
        resources: {requests: {cpu: 20m, memory: 40Mi}, limits: {memory: 170Mi}}
        securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        volumeMounts: [{name: config, mountPath: /etc/dns}]
      volumes: [{name: config, configMap: {name: dns}}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  selector: {k8s-app: kube-dns}
  clusterIP: $dns_ip
  ports:
  - {name: dns, port: 53, targetPort: dns, protocol: UDP}
  - {name: dns-tcp, port: 53, targetPort: dns-tcp, protocol: TCP}
END
}


container_files() {
  local oom=0
  # A machine without CAP_SYS_RESOURCE cannot lower a process's oom_score_adj;
  # runc then fails on the first pod with "can't get final child's PID from
  # pipe: EOF" unless containerd keeps to its own (restrict_oom_score_adj).
  if (echo -999 >/proc/self/oom_score_adj) 2>/dev/null; then oom=-999; fi
  mkdir -p "$state/cni.d"
  cat >"$state/cni.d/10-qflow-kubernetes.conflist" <<END
{
  "cniVersion": "1.0.0",
  "name": "qflow-kubernetes",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "qflow-pods",
      "isGateway": true,
      "hairpinMode": true,
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "$state/cni",
        "ranges": [[{"subnet": "$pod_net"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}
  ]
}
END
  cat >"$state/containerd.toml" <<END
version = 2
root = "$state/containerd"
state = "$run/containerd"
oom_score = $oom
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]

[grpc]
  address = "$socket"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/qflow-kubernetes/pause:$image_key"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni.d"
END
  # Pods that ask for the node's resolver get one that is not there, rather
  # than the host's own names and search list.
  echo 'nameserver 127.0.0.1' >"$state/resolv.conf"
  cat >"$state/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_ip
healthzBindAddress: 127.0.0.1
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet-server.crt
tlsPrivateKeyFile: $pki/kubelet-server.key
containerRuntimeEndpoint: unix://$socket
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [$dns_ip]
resolvConf: $state/resolv.conf
podLogsDir: $state/pod-logs
volumePluginDir: $state/volume-plugins
# No image can be pulled again, so none may be collected; and a disk that is
# nearly full is the machine's own affair.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
seccompDefault: false
END
  cat >"$state/kube-proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $state/kube-proxy.conf}
hostnameOverride: $node
clusterCIDR: $pod_net
nodePortAddresses: [$node_ip/32]
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
iptables: {localhostNodePorts: false}
# 0 leaves the host's connection tracking as it is.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
}

# Disks by hand, of no class, since nothing here makes them when they are asked for; what claims one without naming a class gets it.
own_disks() {
  local number
  for number in 1 2 3 4 5 6; do
    mkdir -p "$state/disks/$number"
    cat <<END
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk-$number}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: $state/disks/$number}
  nodeAffinity:
    required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$node]}]}]}
END
  done
}
