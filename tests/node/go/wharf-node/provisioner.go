package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const provisionerName = "wharfinger.dev/local"

// provision makes a folder and a `local` volume for each claim, and removes both when the claim is deleted.
//
// The volumes are of the `local` kind because the kubelet gives those to a Pod's fsGroup, which it does not do for
// `hostPath`; without it no Pod of the `restricted` standard could write.
//
//	wharf-node provisioner KUBECONFIG FOLDER NODE
func provision() {
	if len(os.Args) != 4 {
		fail(fmt.Errorf("usage: provisioner KUBECONFIG FOLDER NODE"))
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	if err != nil {
		fail(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		fail(err)
	}
	ctx := klog.NewContext(context.Background(), klog.Background())
	folders := folders{root: os.Args[2], node: os.Args[3]}
	controller.NewProvisionController(ctx, client, provisionerName, folders,
		controller.LeaderElection(false)).Run(ctx)
}

type folders struct {
	root string
	node string
}

func (f folders) Provision(_ context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	size := options.PVC.Spec.Resources.Requests[corev1.ResourceStorage]
	if err := f.checkSize(size.Value()); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	path := filepath.Join(f.root, options.PVName)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   options.PVC.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: size},
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{f.node}},
				}}},
			}},
		},
	}, controller.ProvisioningFinished, nil
}

// checkSize refuses what the disk could never hold, so that a claim that is too large fails as it would elsewhere.
func (f folders) checkSize(bytes int64) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(f.root, &disk); err != nil {
		return err
	}
	if total := int64(disk.Blocks) * disk.Bsize; bytes > total {
		return fmt.Errorf("the claim asks for %d bytes and the node's disk has %d", bytes, total)
	}
	return nil
}

func (f folders) Delete(_ context.Context, volume *corev1.PersistentVolume) error {
	if volume.Spec.Local == nil || filepath.Dir(volume.Spec.Local.Path) != f.root {
		return &controller.IgnoredError{Reason: "the volume is not below " + f.root}
	}
	return os.RemoveAll(volume.Spec.Local.Path)
}
