# One service in the default cluster. Nothing tells it where AWS is, not even its environment.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "tag" { default = "1" }
variable "desired" { default = 2 }

provider "aws" {}

resource "aws_ecs_task_definition" "web" {
  family = "web"
  container_definitions = jsonencode([
    { name = "web", image = "web:${var.tag}", memory = 64, portMappings = [{ containerPort = 80 }] },
  ])
}

resource "aws_ecs_service" "web" {
  name                  = "web"
  task_definition       = aws_ecs_task_definition.web.arn
  desired_count         = var.desired
  wait_for_steady_state = true
}

output "web" {
  value = "${aws_ecs_service.web.task_definition} x ${aws_ecs_service.web.desired_count}"
}
