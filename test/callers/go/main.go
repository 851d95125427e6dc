// A caller in Go: grpc-go and code generated from the contract. It reads its task from standard input, drives the node,
// and writes what it saw to standard output, both as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "caller/gen/service"
)

type task struct {
	Address     string `json:"address"`     // host:port of the node
	Certificate string `json:"certificate"` // the file to trust, PEM
	Key         string `json:"key"`
	Config      string `json:"config"`  // for Xray
	Inbound     string `json:"inbound"` // the tag that users are put on
	Proxy       string `json:"proxy"`   // the URL of the inbound `proxy-in`
	Target      string `json:"target"`  // a URL to fetch through it
}

type result struct {
	Started     bool             `json:"started"`
	CoreVersion string           `json:"coreVersion"`
	Before      string           `json:"before"`  // the code of GetStats of a user that is not there yet
	After       string           `json:"after"`   // and of the same user once the chunks were sent
	Fetched     string           `json:"fetched"` // what the target answered
	Traffic     map[string]int64 `json:"traffic"` // counters of the inbound `proxy-in`
	WrongKey    string           `json:"wrongKey"`
}

func main() {
	var t task
	check(json.NewDecoder(os.Stdin).Decode(&t))
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	trust, err := credentials.NewClientTLSFromFile(t.Certificate, "")
	check(err)
	connection, err := grpc.NewClient(t.Address, grpc.WithTransportCredentials(trust))
	check(err)
	defer connection.Close()
	node := pb.NewNodeServiceClient(connection)

	var r result
	_, err = node.GetBaseInfo(withKey(ctx, "00000000-0000-4000-8000-000000000000"), &pb.Empty{})
	r.WrongKey = status.Code(err).String()

	ctx = withKey(ctx, t.Key)
	info, err := node.Start(ctx, &pb.Backend{
		Type:   pb.BackendType_XRAY,
		Config: t.Config,
		Users:  []*pb.User{user("1", t.Inbound)},
	})
	check(err)
	r.Started, r.CoreVersion = info.Started, info.CoreVersion

	r.Before = statCode(ctx, node, "5")
	chunks, err := node.SyncUsersChunked(ctx)
	check(err)
	check(chunks.Send(&pb.UsersChunk{Index: 0, Users: []*pb.User{user("2", t.Inbound), user("3", t.Inbound)}}))
	check(chunks.Send(&pb.UsersChunk{Index: 1, Users: []*pb.User{user("4", t.Inbound), user("5", t.Inbound)}, Last: true}))
	_, err = chunks.CloseAndRecv()
	check(err)
	r.After = statCode(ctx, node, "5")

	r.Fetched = fetch(t.Proxy, t.Target)
	r.Traffic = map[string]int64{}
	stats, err := node.GetStats(ctx, &pb.StatRequest{Type: pb.StatType_Inbound, Name: "proxy-in"})
	check(err)
	for _, stat := range stats.Stats {
		r.Traffic[stat.Type] = stat.Value
	}
	check(json.NewEncoder(os.Stdout).Encode(r))
}

func withKey(ctx context.Context, key string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
}

func user(email, inbound string) *pb.User {
	id := fmt.Sprintf("00000000-0000-4000-8000-%012s", email)
	return &pb.User{Email: email, Inbounds: []string{inbound}, Proxies: &pb.Proxy{Vless: &pb.Vless{Id: id}}}
}

func statCode(ctx context.Context, node pb.NodeServiceClient, email string) string {
	_, err := node.GetStats(ctx, &pb.StatRequest{Type: pb.StatType_UserStat, Name: email})
	if err == nil {
		return codes.OK.String()
	}
	return status.Code(err).String()
}

func fetch(proxy, target string) string {
	proxyURL, err := url.Parse(proxy)
	check(err)
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxyURL), DisableKeepAlives: true}}
	answer, err := client.Get(target)
	check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	check(err)
	return string(body)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
