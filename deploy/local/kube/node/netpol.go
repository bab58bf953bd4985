package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"os/exec"
	"sort"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// runNetpol enforces NetworkPolicy for the pods of this one node with
// iptables: one chain for each pod and direction that some policy selects. The
// chain lets what is allowed return, and drops the rest. The whole is worked
// out anew at every change, and written in one transaction if it differs.
func runNetpol() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	root := flag.String("chain", "", "the chain that packets from and to pods are sent through")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
	pods := factory.Core().V1().Pods()
	spaces := factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()
	changed := make(chan struct{}, 1)
	notice := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), spaces.Informer(), policies.Informer()} {
		informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { notice() },
			UpdateFunc: func(any, any) { notice() },
			DeleteFunc: func(any) { notice() },
		})
	}
	factory.Start(nil)
	factory.WaitForCacheSync(nil)
	log.Print("watching")

	var applied string
	var chains []string
	for {
		w := world{labelsOf: map[string]labels.Set{}}
		allSpaces, _ := spaces.Lister().List(labels.Everything())
		for _, space := range allSpaces {
			w.labelsOf[space.Name] = space.Labels
		}
		allPods, _ := pods.Lister().List(labels.Everything())
		for _, pod := range allPods {
			ended := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
			if ip, err := netip.ParseAddr(pod.Status.PodIP); err == nil && ip.Is4() && !pod.Spec.HostNetwork && !ended {
				w.pods = append(w.pods, pod)
			}
		}
		w.policies, _ = policies.Lister().List(labels.Everything())

		rules, used := w.rules(*root)
		if rules != applied {
			text := "*filter\n:" + *root + " - [0:0]\n"
			for _, name := range union(chains, used) {
				text += ":" + name + " - [0:0]\n"
			}
			text += rules
			for _, name := range chains {
				if !contains(used, name) {
					text += "-X " + name + "\n"
				}
			}
			text += "COMMIT\n"
			command := exec.Command("iptables-restore", "--wait", "5", "--noflush")
			command.Stdin = strings.NewReader(text)
			var said bytes.Buffer
			command.Stderr = &said
			if err := command.Run(); err != nil {
				log.Printf("%v: %s\n%s", err, said.String(), text)
				time.Sleep(time.Second)
				continue
			}
			log.Printf("%d policies, %d chains", len(w.policies), len(used))
			applied, chains = rules, used
		}
		<-changed
		time.Sleep(50 * time.Millisecond) // changes come in groups
	}
}

// world is what the rules follow from.
type world struct {
	pods     []*core.Pod
	policies []*networking.NetworkPolicy
	labelsOf map[string]labels.Set // by namespace
}

func (w world) rules(root string) (text string, chains []string) {
	var jumps, bodies []string
	for _, pod := range w.pods {
		for _, kind := range []networking.PolicyType{networking.PolicyTypeEgress, networking.PolicyTypeIngress} {
			isolated := false
			allowed := map[string]bool{}
			for _, policy := range w.policies {
				if policy.Namespace != pod.Namespace || !matches(&policy.Spec.PodSelector, pod.Labels) || !hasType(policy, kind) {
					continue
				}
				isolated = true
				for _, match := range w.allowed(policy, pod, kind) {
					allowed[match] = true
				}
			}
			if !isolated {
				continue
			}
			near, name := "-d", fmt.Sprintf("QFLOWK8S-P-%x", sha256.Sum256([]byte(string(kind)+string(pod.UID))))[:28]
			if kind == networking.PolicyTypeEgress {
				near = "-s"
			}
			chains = append(chains, name)
			jumps = append(jumps, fmt.Sprintf("-A %s %s %s/32 -j %s\n", root, near, pod.Status.PodIP, name))
			// Nothing keeps a pod from itself.
			bodies = append(bodies, fmt.Sprintf("-A %s -s %s/32 -d %s/32 -j RETURN\n", name, pod.Status.PodIP, pod.Status.PodIP))
			for _, match := range sorted(allowed) {
				bodies = append(bodies, fmt.Sprintf("-A %s %s-j RETURN\n", name, match))
			}
			bodies = append(bodies, fmt.Sprintf("-A %s -j DROP\n", name))
		}
	}
	// Answers, and what was let through when it began.
	text = "-A " + root + " -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n"
	sort.Strings(jumps)
	sort.Strings(chains)
	return text + strings.Join(jumps, "") + strings.Join(bodies, ""), chains
}

// allowed gives the iptables matches of what one policy lets to, or from, a pod.
func (w world) allowed(policy *networking.NetworkPolicy, pod *core.Pod, kind networking.PolicyType) (found []string) {
	add := func(far string, peers []networking.NetworkPolicyPeer, ports []networking.NetworkPolicyPort) {
		if len(peers) == 0 {
			if kind == networking.PolicyTypeEgress && anyNamed(ports) {
				// A named port means another number in each pod.
				for _, other := range w.pods {
					for _, match := range portMatches(ports, other) {
						found = append(found, far+" "+other.Status.PodIP+"/32 "+match)
					}
				}
				return
			}
			found = append(found, portMatches(ports, pod)...)
			return
		}
		for _, peer := range peers {
			if peer.IPBlock != nil {
				for _, block := range without(peer.IPBlock.CIDR, peer.IPBlock.Except) {
					for _, match := range portMatches(ports, pod) {
						found = append(found, far+" "+block+" "+match)
					}
				}
				continue
			}
			for _, other := range w.pods {
				if peer.NamespaceSelector == nil && other.Namespace != policy.Namespace ||
					peer.NamespaceSelector != nil && !matches(peer.NamespaceSelector, w.labelsOf[other.Namespace]) ||
					peer.PodSelector != nil && !matches(peer.PodSelector, other.Labels) {
					continue
				}
				owner := pod // whose containers name the ports
				if kind == networking.PolicyTypeEgress {
					owner = other
				}
				for _, match := range portMatches(ports, owner) {
					found = append(found, far+" "+other.Status.PodIP+"/32 "+match)
				}
			}
		}
	}
	if kind == networking.PolicyTypeIngress {
		for _, rule := range policy.Spec.Ingress {
			add("-s", rule.From, rule.Ports)
		}
	} else {
		for _, rule := range policy.Spec.Egress {
			add("-d", rule.To, rule.Ports)
		}
	}
	return found
}

// portMatches gives one match for each port; without ports, one for them all.
func portMatches(ports []networking.NetworkPolicyPort, owner *core.Pod) (found []string) {
	if len(ports) == 0 {
		return []string{""}
	}
	for _, port := range ports {
		protocol := core.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		match := "-p " + strings.ToLower(string(protocol)) + " "
		switch {
		case port.Port == nil:
			found = append(found, match)
		case port.Port.Type == intstr.Int && port.EndPort != nil:
			found = append(found, fmt.Sprintf("%s--dport %d:%d ", match, port.Port.IntVal, *port.EndPort))
		case port.Port.Type == intstr.Int:
			found = append(found, fmt.Sprintf("%s--dport %d ", match, port.Port.IntVal))
		default:
			for _, container := range owner.Spec.Containers {
				for _, named := range container.Ports {
					if named.Name == port.Port.StrVal && (named.Protocol == protocol || named.Protocol == "" && protocol == core.ProtocolTCP) {
						found = append(found, fmt.Sprintf("%s--dport %d ", match, named.ContainerPort))
					}
				}
			}
		}
	}
	return found
}

func anyNamed(ports []networking.NetworkPolicyPort) bool {
	for _, port := range ports {
		if port.Port != nil && port.Port.Type == intstr.String {
			return true
		}
	}
	return false
}

// without gives the IPv4 blocks that make up one block less some others, by
// halving what is partly left out.
func without(block string, except []string) []string {
	whole, err := netip.ParsePrefix(block)
	if err != nil || !whole.Addr().Is4() {
		return nil
	}
	whole = whole.Masked()
	for _, text := range except {
		hole, err := netip.ParsePrefix(text)
		if err != nil || !hole.Overlaps(whole) {
			continue
		}
		if hole.Bits() <= whole.Bits() {
			return nil
		}
		low := netip.PrefixFrom(whole.Addr(), whole.Bits()+1)
		bytes := whole.Addr().As4()
		bytes[whole.Bits()/8] |= 0x80 >> (whole.Bits() % 8)
		high := netip.PrefixFrom(netip.AddrFrom4(bytes), whole.Bits()+1)
		return append(without(low.String(), except), without(high.String(), except)...)
	}
	return []string{whole.String()}
}

func hasType(policy *networking.NetworkPolicy, kind networking.PolicyType) bool {
	for _, t := range policy.Spec.PolicyTypes {
		if t == kind {
			return true
		}
	}
	return false
}

func matches(selector *meta.LabelSelector, set labels.Set) bool {
	s, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(set)
}

func sorted(set map[string]bool) (list []string) {
	for item := range set {
		list = append(list, item)
	}
	sort.Strings(list)
	return list
}

func contains(list []string, item string) bool {
	for _, other := range list {
		if other == item {
			return true
		}
	}
	return false
}

func union(a, b []string) []string {
	set := map[string]bool{}
	for _, item := range append(append([]string{}, a...), b...) {
		set[item] = true
	}
	return sorted(set)
}
