# What people manage of ECS with Terraform. Nothing tells it where AWS is but its environment.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "greeting" { default = "hello" }
variable "desired" { default = 2 }
variable "team" { default = "blue" }
variable "insights" { default = "disabled" }

provider "aws" {
  region = "us-east-1"
}

resource "aws_ecs_account_setting_default" "insights" {
  name  = "containerInsights"
  value = var.insights
}

resource "aws_ecs_cluster" "shop" {
  name = "shop"

  setting {
    name  = "containerInsights"
    value = var.insights
  }

  configuration {
    execute_command_configuration {
      logging = "OVERRIDE"
      log_configuration {
        cloud_watch_log_group_name = "/shop/exec"
      }
    }
  }

  tags = { team = var.team }
}

resource "aws_ecs_capacity_provider" "machines" {
  name = "machines"

  auto_scaling_group_provider {
    auto_scaling_group_arn         = "arn:aws:autoscaling:us-east-1:000000000000:autoScalingGroup:5f2b7a3e-0b3c-4a43-9d0c-1b8a6a4c9e21:autoScalingGroupName/machines"
    managed_termination_protection = "DISABLED"

    managed_scaling {
      maximum_scaling_step_size = 10
      minimum_scaling_step_size = 1
      status                    = "ENABLED"
      target_capacity           = var.desired == 2 ? 80 : 90
    }
  }

  tags = { team = var.team }
}

resource "aws_ecs_cluster_capacity_providers" "shop" {
  cluster_name       = aws_ecs_cluster.shop.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT", aws_ecs_capacity_provider.machines.name]

  default_capacity_provider_strategy {
    base              = 1
    weight            = 100
    capacity_provider = "FARGATE"
  }
}

resource "aws_ecs_task_definition" "web" {
  family                   = "web"
  requires_compatibilities = ["FARGATE", "EC2"]
  network_mode             = "awsvpc"
  cpu                      = "512"
  memory                   = "1024"
  execution_role_arn       = "arn:aws:iam::000000000000:role/execution"
  task_role_arn            = "arn:aws:iam::000000000000:role/task"

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  ephemeral_storage {
    size_in_gib = 40
  }

  volume {
    name = "scratch"
  }

  volume {
    name = "shared"
    efs_volume_configuration {
      file_system_id     = "fs-0123456789abcdef0"
      root_directory     = "/"
      transit_encryption = "ENABLED"
    }
  }

  container_definitions = jsonencode([
    {
      name      = "prepare"
      image     = "prepare:1"
      essential = false
      command   = ["true"]
      mountPoints = [
        { sourceVolume = "scratch", containerPath = "/scratch" }
      ]
    },
    {
      name         = "web"
      image        = "web:1"
      essential    = true
      cpu          = 256
      memory       = 512
      portMappings = [{ name = "http", containerPort = 80, appProtocol = "http" }]
      environment = [
        { name = "ZONE", value = "a" },
        { name = "GREETING", value = var.greeting },
      ]
      secrets = [
        { name = "PASSWORD", valueFrom = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf:password::" },
        { name = "KEY", valueFrom = "/shop/key" },
      ]
      dependsOn   = [{ containerName = "prepare", condition = "SUCCESS" }]
      mountPoints = [{ sourceVolume = "shared", containerPath = "/shared", readOnly = true }]
      healthCheck = { command = ["CMD-SHELL", "true"], interval = 5 }
      ulimits     = [{ name = "nofile", softLimit = 1024, hardLimit = 4096 }]
      stopTimeout = 5
      linuxParameters = {
        initProcessEnabled = true
      }
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = "/shop/web"
          awslogs-region        = "us-east-1"
          awslogs-stream-prefix = "web"
        }
      }
    },
  ])

  tags = { team = var.team }
}

resource "aws_ecs_service" "web" {
  name                               = "web"
  cluster                            = aws_ecs_cluster.shop.id
  task_definition                    = aws_ecs_task_definition.web.arn
  desired_count                      = var.desired
  launch_type                        = "FARGATE"
  platform_version                   = "LATEST"
  deployment_minimum_healthy_percent = 50
  deployment_maximum_percent         = 300
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  wait_for_steady_state              = true

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = ["subnet-1", "subnet-2"]
    security_groups  = ["sg-1"]
    assign_public_ip = true
  }

  tags = { team = var.team }

  timeouts {
    create = "5m"
    update = "5m"
    delete = "5m"
  }

  depends_on = [aws_ecs_cluster_capacity_providers.shop]
}

resource "aws_ecs_task_definition" "worker" {
  family = "worker"
  volume {
    name      = "host"
    host_path = "/srv"
  }
  placement_constraints {
    type       = "memberOf"
    expression = "attribute:ecs.os-type == linux"
  }
  container_definitions = jsonencode([
    { name = "worker", image = "worker:1", memoryReservation = 64, mountPoints = [{ sourceVolume = "host", containerPath = "/host" }] },
  ])
}

resource "aws_ecs_service" "worker" {
  name            = "worker"
  cluster         = aws_ecs_cluster.shop.id
  task_definition = "${aws_ecs_task_definition.worker.family}:${aws_ecs_task_definition.worker.revision}"
  desired_count   = 1

  ordered_placement_strategy {
    type  = "spread"
    field = "attribute:ecs.availability-zone"
  }

  ordered_placement_strategy {
    type  = "binpack"
    field = "memory"
  }

  placement_constraints {
    type       = "memberOf"
    expression = "attribute:ecs.os-type == linux"
  }

  launch_type = "EC2"
  depends_on  = [aws_ecs_cluster_capacity_providers.shop]

  lifecycle {
    ignore_changes = [tags, tags_all] # aws_ecs_tag's
  }
}

resource "aws_ecs_service" "agent" {
  name                = "agent"
  cluster             = aws_ecs_cluster.shop.id
  task_definition     = aws_ecs_task_definition.worker.arn
  scheduling_strategy = "DAEMON"
  launch_type         = "EC2"
  depends_on          = [aws_ecs_cluster_capacity_providers.shop]
}

resource "aws_ecs_tag" "owner" {
  resource_arn = aws_ecs_service.worker.id
  key          = "owner"
  value        = var.team
}

output "web" {
  value = "${aws_ecs_task_definition.web.revision} ${aws_ecs_service.web.desired_count} ${aws_ecs_service.web.id}"
}
