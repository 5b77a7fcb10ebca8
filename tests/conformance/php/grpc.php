<?php
// What the generated client needs of gRPC, by PHP's own curl: Debian has no package of gRPC's extension.

declare(strict_types=1);

namespace Grpc;

const STATUS_OK = 0;
const STATUS_CANCELLED = 1;
const STATUS_UNAVAILABLE = 14;

class BaseStub
{
    public function __construct(private string $address, array $options, mixed $channel = null)
    {
    }

    protected function _simpleRequest($method, $argument, $deserialize, $metadata = [], $options = []): UnaryCall
    {
        return new UnaryCall($this->_serverStreamRequest($method, $argument, $deserialize, $metadata, $options));
    }

    protected function _serverStreamRequest(
        $method,
        $argument,
        $deserialize,
        $metadata = [],
        $options = []
    ): ServerStreamingCall {
        return new ServerStreamingCall("http://{$this->address}{$method}", $argument, $deserialize[0], $metadata);
    }
}

final class UnaryCall
{
    public function __construct(private ServerStreamingCall $call)
    {
    }

    /** @return array{?object, object} The response, null if there is none, and the status. */
    public function wait(): array
    {
        $response = null;
        foreach ($this->call->responses() as $response) {
        }
        return [$response, $this->call->getStatus()];
    }
}

final class ServerStreamingCall
{
    private const PREFIX_BYTES = 5;

    private \CurlMultiHandle $transfers;
    private \CurlHandle $transfer;
    private string $received = '';
    /** @var array<string, string> Headers and trailers. */
    private array $headers = [];
    private bool $isCancelled = false;

    public function __construct(string $url, object $request, private string $responseClass, array $metadata)
    {
        $message = $request->serializeToString();
        $headers = ['content-type: application/grpc', 'te: trailers', 'expect:'];
        foreach ($metadata as $key => $values) {
            array_push($headers, ...array_map(fn ($value) => "$key: $value", $values));
        }
        $this->transfer = curl_init($url);
        curl_setopt_array($this->transfer, [
            CURLOPT_HTTP_VERSION => CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
            CURLOPT_POSTFIELDS => pack('CN', 0, strlen($message)) . $message,
            CURLOPT_HTTPHEADER => $headers,
            CURLOPT_TIMEOUT => 60,
            CURLOPT_HEADERFUNCTION => function ($transfer, string $line): int {
                [$name, $value] = explode(':', $line, 2) + [1 => ''];
                $this->headers[strtolower($name)] = trim($value);
                return strlen($line);
            },
            CURLOPT_WRITEFUNCTION => function ($transfer, string $data): int {
                $this->received .= $data;
                return strlen($data);
            },
        ]);
        $this->transfers = curl_multi_init();
        curl_multi_add_handle($this->transfers, $this->transfer);
    }

    /** Yields each message as it comes. */
    public function responses(): \Generator
    {
        do {
            curl_multi_exec($this->transfers, $running);
            while (($data = $this->nextMessage()) !== null) {
                $message = new $this->responseClass();
                $message->mergeFromString($data);
                yield $message;
                if ($this->isCancelled) {
                    return;
                }
            }
            if ($running) {
                curl_multi_select($this->transfers);
            }
        } while ($running);
    }

    public function cancel(): void
    {
        $this->isCancelled = true;
        curl_multi_remove_handle($this->transfers, $this->transfer);
    }

    public function getStatus(): object
    {
        $code = $this->isCancelled ? STATUS_CANCELLED : (int) ($this->headers['grpc-status'] ?? STATUS_UNAVAILABLE);
        return (object) [
            'code' => $code,
            'details' => rawurldecode($this->headers['grpc-message'] ?? curl_error($this->transfer)),
            'metadata' => ['grpc-status-details-bin' => base64_decode($this->headers['grpc-status-details-bin'] ?? '')],
        ];
    }

    private function nextMessage(): ?string
    {
        if (strlen($this->received) < self::PREFIX_BYTES) {
            return null;
        }
        $size = unpack('N', $this->received, 1)[1];
        if (strlen($this->received) < self::PREFIX_BYTES + $size) {
            return null;
        }
        $data = substr($this->received, self::PREFIX_BYTES, $size);
        $this->received = substr($this->received, self::PREFIX_BYTES + $size);
        return $data;
    }
}
