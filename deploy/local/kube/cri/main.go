// Command cri speaks to the container runtime over its CRI socket, for the two things that deploy/local/kubernetes needs of it: to wait until
// it is ready, and to remove every pod so that nothing is left behind.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "cri: "+format+"\n", args...)
	os.Exit(1)
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: cri SOCKET ready|clean")
		os.Exit(2)
	}
	conn, err := grpc.NewClient("unix://"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail("%v", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	runtime := cri.NewRuntimeServiceClient(conn)

	switch os.Args[2] {
	case "ready":
		ready(ctx, runtime)
	case "clean":
		clean(ctx, runtime)
	default:
		fail("no such verb: %s", os.Args[2])
	}
}

// ready ends with 0 when the runtime and the pod network both say they are.
func ready(ctx context.Context, runtime cri.RuntimeServiceClient) {
	status, err := runtime.Status(ctx, &cri.StatusRequest{})
	if err != nil {
		fail("%v", err)
	}
	for _, condition := range status.GetStatus().GetConditions() {
		if !condition.GetStatus() {
			fail("%s is not true: %s %s", condition.GetType(), condition.GetReason(), condition.GetMessage())
		}
	}
	version, err := runtime.Version(ctx, &cri.VersionRequest{})
	if err != nil {
		fail("%v", err)
	}
	fmt.Printf("%s %s, CRI %s\n", version.GetRuntimeName(), version.GetRuntimeVersion(), version.GetRuntimeApiVersion())
}

// clean stops and removes every pod, a few at a time, containers and network
// with it. A stop that fails is tried again: a runtime just started may still
// be finding its shims.
func clean(ctx context.Context, runtime cri.RuntimeServiceClient) {
	list, err := runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		fail("%v", err)
	}
	var (
		wait   sync.WaitGroup
		slots  = make(chan struct{}, 8)
		failed = make(chan error, len(list.GetItems()))
	)
	for _, pod := range list.GetItems() {
		wait.Add(1)
		go func() {
			defer wait.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			var err error
			for try := 0; try < 5; try++ {
				if err = remove(ctx, runtime, pod.GetId()); err == nil {
					return
				}
				time.Sleep(time.Second)
			}
			failed <- fmt.Errorf("%s: %w", pod.GetMetadata().GetName(), err)
		}()
	}
	wait.Wait()
	close(failed)
	bad := 0
	for err := range failed {
		bad++
		fmt.Fprintln(os.Stderr, "cri:", err)
	}
	if bad > 0 {
		os.Exit(1)
	}
	fmt.Printf("%d pods removed\n", len(list.GetItems()))
}

// remove kills the pod's containers outright before it stops the pod, so that
// no container's own grace period is waited for.
func remove(ctx context.Context, runtime cri.RuntimeServiceClient, id string) error {
	list, err := runtime.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{PodSandboxId: id}})
	if err != nil {
		return err
	}
	for _, container := range list.GetContainers() {
		if _, err := runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: container.GetId(), Timeout: 0}); err != nil {
			return err
		}
	}
	if _, err := runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
		return err
	}
	_, err = runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id})
	return err
}
