<?php
// Submits, watches, is cut off, watches on, pages, and is refused; prints what it saw as JSON.

declare(strict_types=1);

require __DIR__ . '/grpc.php';

use Google\Protobuf\Struct;
use Google\Rpc\BadRequest;
use Google\Rpc\ErrorInfo;
use Google\Rpc\Status;
use Imagebatch\V1\BatchImageInput;
use Imagebatch\V1\BatchItemResult;
use Imagebatch\V1\BatchOptions;
use Imagebatch\V1\BatchServiceClient;
use Imagebatch\V1\BatchStatus;
use Imagebatch\V1\GetBatchResultsRequest;
use Imagebatch\V1\SubmitBatchRequest;
use Imagebatch\V1\WatchBatchRequest;

$given = json_decode($argv[1], true, flags: JSON_THROW_ON_ERROR);

spl_autoload_register(function (string $class) use ($given): void {
    foreach ([$given['generated'], '/usr/share/php'] as $folder) {
        $file = "$folder/" . strtr($class, '\\', '/') . '.php';
        if (is_file($file)) {
            require $file;
            return;
        }
    }
});

function answer(array $waited): object
{
    [$response, $status] = $waited;
    if ($status->code !== Grpc\STATUS_OK) {
        throw new RuntimeException("{$status->code}: {$status->details}");
    }
    return $response;
}

function struct(array $value): Struct
{
    $struct = new Struct();
    $struct->mergeFromJsonString(json_encode($value, JSON_THROW_ON_ERROR));
    return $struct;
}

function seen(BatchItemResult $result): array
{
    return [
        'sequence' => $result->getSequence(),
        'item_index' => $result->getItemIndex(),
        'input' => json_decode($result->getInputData()->serializeToJsonString(), true),
        'output' => json_decode($result->getOutputData()->serializeToJsonString(), true),
    ];
}

$client = new BatchServiceClient($given['address'], []);
$options = new BatchOptions(['operation' => 'paced', 'parameters' => struct(['gate' => $given['gate']])]);
$options->setPriority(7);
$items = [];
for ($index = 0; $index < $given['items']; $index++) {
    $items[] = new BatchImageInput(['image_base64' => $given['image'], 'metadata' => struct(['from' => 'PHP', 'n' => $index])]);
}
$request = new SubmitBatchRequest(['options' => $options, 'items' => $items]);
$submitted = answer($client->SubmitBatch($request)->wait());
$batch = ['batch_id' => $submitted->getBatchId()];

$watched = [];
$sequence = 0;
$cut = $client->WatchBatch(new WatchBatchRequest($batch));
foreach ($cut->responses() as $update) {
    foreach ($update->getResults() as $result) {
        $watched[] = seen($result);
    }
    $sequence = $update->getSequence();
    if (count($watched) >= $given['items'] / 4) {
        $cut->cancel();
    }
}
$before = count($watched);
rename($given['open_gate'], $given['gate']);

$status = null;
$watch = $client->WatchBatch(new WatchBatchRequest([...$batch, 'after_sequence' => $sequence]));
foreach ($watch->responses() as $update) {
    foreach ($update->getResults() as $result) {
        $watched[] = seen($result);
    }
    $status = $update->getStatus() ?? $status;
}

$paged = [];
do {
    $asked = new GetBatchResultsRequest([...$batch, 'offset' => count($paged), 'limit' => 20]);
    $page = answer($client->GetBatchResults($asked)->wait());
    foreach ($page->getResults() as $result) {
        $paged[] = seen($result);
    }
} while ($page->getPagination()->getHasMore());

[, $refused] = $client->GetBatchResults(new GetBatchResultsRequest([...$batch, 'limit' => 5000]))->wait();
$details = new Status();
$details->mergeFromString($refused->metadata['grpc-status-details-bin']);
$refusal = ['code' => $refused->code];
foreach ($details->getDetails() as $detail) {
    $info = str_ends_with($detail->getTypeUrl(), '/google.rpc.ErrorInfo') ? new ErrorInfo() : new BadRequest();
    $info->mergeFromString($detail->getValue());
    if ($info instanceof ErrorInfo) {
        $refusal['reason'] = $info->getReason();
    } else {
        $refusal['field'] = $info->getFieldViolations()[0]->getField();
    }
}

echo json_encode([
    'submitted' => BatchStatus::name($submitted->getStatus()),
    'before_the_cut' => $before,
    'watched' => $watched,
    'watch_code' => $watch->getStatus()->code,
    'status' => BatchStatus::name($status->getStatus()),
    'priority' => $status->getPriority(),
    'paged' => $paged,
    'refusal' => $refusal,
], JSON_THROW_ON_ERROR);
