terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {}

resource "aws_s3_bucket" "data" {
  bucket = "terraform-data"
  tags   = { owner = "kecs" }
}

resource "aws_dynamodb_table" "users" {
  name         = "terraform-users"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "id"
  attribute {
    name = "id"
    type = "S"
  }
}

resource "aws_sqs_queue" "jobs" {
  name                       = "terraform-jobs"
  visibility_timeout_seconds = 45
}

output "queue" {
  value = aws_sqs_queue.jobs.url
}
